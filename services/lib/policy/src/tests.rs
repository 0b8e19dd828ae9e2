//! What the shipped set decides, what an addition may change, and how one is refused.

use super::*;
use keywright_domain::caller::{Principal, PrincipalKind, ServiceName};
use keywright_domain::ids::PrincipalId;

fn person(role: Role, tenant: Option<&TenantId>) -> Caller {
    let principal = Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned());
    Caller { principal, acting: Some(ServiceName::Gateway), ..Caller::background(ServiceName::Gateway, "") }
}

fn program(role: Role, permissions: &[&str]) -> Caller {
    let mut caller = person(role, None);
    caller.principal.kind = PrincipalKind::Service;
    caller.principal.permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
    Caller { acting: None, ..caller }
}

fn deny(by: &str) -> Decision {
    Decision::Deny(DeniedBy(by.to_owned()))
}

/// The set with one file of additions.
fn with(text: &str) -> Result<Policy, PolicyError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.cedar"), text).unwrap();
    Policy::with_additions(folder.path())
}

fn faults(text: &str) -> Vec<String> {
    let Err(error) = with(text) else { panic!("accepted: {text}") };
    error.0.iter().map(ToString::to_string).collect()
}

#[test]
fn an_operator_never_downloads_and_an_owner_does() {
    let policy = Policy::shipped().unwrap();
    let tenant = TenantId::random().unwrap();
    let operator = person(Role::Operator, None);
    assert_eq!(policy.decide(&operator, "access.download", Some(&tenant)), deny("limit-download"));
    assert_eq!(policy.decide(&operator, "credential.sign_login", Some(&tenant)), deny("limit-signing"));
    assert_eq!(policy.decide(&operator, "access.revoke", Some(&tenant)), Decision::Allow);
    let owner = person(Role::TenantOwner, Some(&tenant));
    assert_eq!(policy.decide(&owner, "access.download", Some(&tenant)), Decision::Allow);
    let program =
        Caller { principal: Principal { kind: PrincipalKind::Service, ..owner.principal.clone() }, ..owner };
    assert_eq!(policy.decide(&program, "access.download", Some(&tenant)), deny("limit-download"));
}

#[test]
fn another_tenant_is_hidden_whatever_the_role() {
    let policy = Policy::shipped().unwrap();
    let (mine, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
    for role in [Role::TenantOwner, Role::TenantAdmin, Role::TenantMember] {
        let caller = person(role, Some(&mine));
        assert_eq!(policy.decide(&caller, "server.read", Some(&other)), Decision::Hidden);
        assert_eq!(policy.decide(&caller, "server.read", None), Decision::Hidden);
        assert_eq!(policy.decide(&caller, "server.read", Some(&mine)), Decision::Allow);
        let denied = policy.0.evaluate(&caller, "server.read", other.as_str()).unwrap_err();
        assert_eq!(denied.to_string(), "tenant-boundary", "the policies themselves hold the boundary");
    }
}

#[test]
fn the_gateway_reaches_nothing_inside() {
    let policy = Policy::shipped().unwrap();
    let operator = person(Role::Operator, None);
    for action in ["credential.sign", "custody.release", "directory.read", "work.check", "fleet_work.check"] {
        assert_eq!(policy.admits(&operator, action).unwrap_err().to_string(), "gateway-outside");
    }
    let carried = Caller { acting: Some(ServiceName::KeyLifecycle), ..operator.clone() };
    assert_eq!(policy.admits(&carried, "directory.read"), Ok(()));
    let direct = Caller { acting: None, ..operator };
    assert_eq!(policy.admits(&direct, "directory.read").unwrap_err().to_string(), "limit-inside");
    let gateway = Caller::background(ServiceName::Gateway, "");
    for action in ["token.exchange", "audit.append", "token.watch"] {
        assert_eq!(policy.admits(&gateway, action), Ok(()), "{action}");
    }
    assert!(policy.admits(&gateway, "tenant.list").is_err());
}

#[test]
fn keys_are_made_by_recorded_work_alone() {
    let policy = Policy::shipped().unwrap();
    let tenant = TenantId::random().unwrap();
    let carried =
        Caller { acting: Some(ServiceName::KeyLifecycle), ..person(Role::TenantOwner, Some(&tenant)) };
    for action in ["custody.create", "custody.generate", "custody.state"] {
        assert_eq!(policy.admits(&Caller::background(ServiceName::KeyLifecycle, "rot_x"), action), Ok(()));
        let other = Caller::background(ServiceName::ConnectivityProbe, "ctest_x");
        for refused in [&carried, &other] {
            assert_eq!(policy.admits(refused, action).unwrap_err().to_string(), "limit-custody");
        }
    }
}

#[test]
fn an_unknown_action_is_denied() {
    let policy = Policy::shipped().unwrap();
    assert!(!policy.knows("server.explode") && !policy.knows("inside"));
    let denied = policy.admits(&person(Role::Operator, None), "server.explode").unwrap_err();
    assert_eq!(denied.to_string(), "no policy permits server.explode to operator");
}

#[test]
fn a_program_does_what_its_permissions_say() {
    let policy = Policy::shipped().unwrap();
    let each = [
        ("reference.write", "reference.write"),
        ("credential.resolve", "credential.resolve"),
        ("credential.sign", "credential.sign_login"),
        ("access.provision", "access.provision"),
        ("krl.read:web", "krl.read"),
    ];
    for (permission, _) in each {
        for (needed, action) in each {
            let mut caller = program(Role::InternalService, &[permission]);
            let of_platform = policy.admits(&caller, action).is_ok();
            caller.principal.tenant = Some(TenantId::random().unwrap());
            let of_tenant = policy.admits(&caller, action).is_ok();
            assert_eq!(of_tenant, permission == needed, "{permission}: {action}");
            // What a tenant's keys do, its own people permit.
            assert_eq!(
                of_platform,
                of_tenant && !action.starts_with("credential."),
                "{permission}: {action}"
            );
        }
    }
    // No other permission has a second half.
    let caller = program(Role::InternalService, &["access.provision:web"]);
    assert!(policy.admits(&caller, "access.provision").is_err());
    // The permission alone, without the role that carries permissions, is worth nothing.
    assert!(policy.admits(&program(Role::Operator, &["credential.resolve"]), "credential.resolve").is_err());
}

#[test]
fn an_addition_narrows() {
    let policy = with(
        r#"@id("office-only")
forbid (principal, action, resource)
when { principal.role == "operator" }
unless { context has source && context.source.isInRange(ip("10.1.0.0/16")) };"#,
    )
    .unwrap();
    assert_eq!(policy.added(), ["office-only"]);
    let mut operator = person(Role::Operator, None);
    assert_eq!(policy.decide(&operator, "tenant.list", None), deny("office-only"));
    operator.source_ip = "10.1.2.3".to_owned();
    assert_eq!(policy.decide(&operator, "tenant.list", None), Decision::Allow);
    operator.source_ip = "::ffff:10.1.2.3".to_owned();
    assert_eq!(policy.decide(&operator, "tenant.list", None), Decision::Allow);
    operator.source_ip = "10.2.0.1".to_owned();
    assert_eq!(policy.admits(&operator, "tenant.list").unwrap_err().to_string(), "office-only");
}

#[test]
fn an_addition_widens_for_the_tenant_it_names() {
    let (named, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
    let policy = with(&format!(
        r#"@id("managed-customer")
permit (principal, action == Keywright::Action::"credential.rotate", resource)
when {{ principal.role == "operator" && resource.tenant == "{named}" }};"#
    ))
    .unwrap();
    let operator = person(Role::Operator, None);
    assert_eq!(policy.admits(&operator, "credential.rotate"), Ok(()), "the door has not read whose it is");
    assert_eq!(policy.decide(&operator, "credential.rotate", Some(&named)), Decision::Allow);
    let denied = policy.decide(&operator, "credential.rotate", Some(&other));
    assert_eq!(denied, deny("no policy permits credential.rotate to operator"));
    assert!(policy.admits(&operator, "credential.delete").is_err());
}

/// Kept out by the start's check or not: the limits hold.
#[test]
fn no_permit_lifts_a_limit() {
    let tenant = TenantId::random().unwrap();
    let mut everything = Policy::shipped().unwrap();
    let mut all = everything.0.shipped.clone();
    let permit = cedar_policy::Policy::parse(None, "permit (principal, action, resource);").unwrap();
    all.add(permit).unwrap();
    let inner = Arc::get_mut(&mut everything.0).unwrap();
    (inner.all, inner.shipped) = (all.clone(), all);

    for role in [Role::Operator, Role::Auditor, Role::TenantMember, Role::InternalService] {
        let own = (role == Role::TenantMember).then_some(&tenant);
        for action in ["access.download", "access.acknowledge", "credential.sign_login", "credential.resolve"]
        {
            let decision = everything.decide(&person(role, own), action, Some(&tenant));
            assert!(matches!(&decision, Decision::Deny(_)), "{role:?} {action}: {decision:?}");
        }
        for action in everything.0.actions.inside.clone() {
            let direct = Caller { acting: None, ..person(role, own) };
            assert!(everything.admits(&direct, &action).is_err(), "{role:?} {action}");
        }
    }
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    for action in everything.0.actions.all.clone() {
        assert_eq!(everything.decide(&stranger, &action, Some(&tenant)), Decision::Hidden);
        assert!(everything.0.evaluate(&stranger, &action, tenant.as_str()).is_err(), "{action}");
    }
    let auditor = person(Role::Auditor, None);
    assert!(everything.admits(&auditor, "server.read").is_ok(), "an addition may let an auditor see");
    assert!(everything.admits(&auditor, "server.rename").is_err());
}

#[test]
fn additions_do_not_concern_keywrights_own_services() {
    let policy = with("@id(\"nobody\")\nforbid (principal, action, resource);").unwrap();
    let worker = Caller::background(ServiceName::KeyLifecycle, "rot_x");
    assert_eq!(policy.admits(&worker, "custody.generate"), Ok(()));
    assert_eq!(policy.admits(&worker, "tenant.read"), Ok(()));
    let tenant = TenantId::random().unwrap();
    let owner = person(Role::TenantOwner, Some(&tenant));
    let carried = Caller { acting: Some(ServiceName::ConnectivityProbe), ..owner.clone() };
    assert_eq!(policy.decide(&carried, "credential.sign", Some(&tenant)), Decision::Allow);
    assert_eq!(policy.decide(&owner, "server.read", Some(&tenant)), deny("nobody"));
}

#[test]
fn what_would_pass_a_limit_is_refused() {
    let operators = faults(
        "\n@id(\"emergency\")\npermit (principal, action == Keywright::Action::\"access.download\", resource)\nwhen { principal.role == \"operator\" };",
    );
    assert_eq!(operators.len(), 1);
    assert!(operators[0].starts_with("own.cedar:2: it would permit access.download to operator (user)"));
    assert!(operators[0].contains("limit-download"), "{operators:?}");
    let blanket = faults(
        "@id(\"root\")\npermit (principal, action, resource)\nwhen { principal.role == \"operator\" };",
    );
    assert!(blanket[0].contains("never allows"), "{blanket:?}");
    let auditors = faults(
        "@id(\"busy\")\npermit (principal, action == Keywright::Action::\"server.rename\", resource)\nwhen { principal.role == \"auditor\" };",
    );
    assert!(auditors[0].contains("limit-auditors"), "{auditors:?}");
}

#[test]
fn an_invalid_addition_is_refused_with_its_place() {
    let syntax =
        faults("@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.role = \"operator\" };");
    assert!(syntax[0].starts_with("own.cedar:3: "), "{syntax:?}");
    let action = faults(
        "// one\n@id(\"a\")\nforbid (principal, action == Keywright::Action::\"server.explode\", resource);",
    );
    assert!(action[0].starts_with("own.cedar:") && action[0].contains("server.explode"), "{action:?}");
    let attribute =
        faults("@id(\"a\")\nforbid (principal, action, resource)\nwhen {\n  resource.owner == \"x\"\n};");
    assert!(attribute[0].starts_with("own.cedar:4: "), "{attribute:?}");
    let unguarded =
        faults("@id(\"a\")\nforbid (principal, action, resource)\nwhen { context.source.isLoopback() };");
    assert!(unguarded[0].starts_with("own.cedar:3: "), "{unguarded:?}");
    let role =
        faults("@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.role == \"operatr\" };");
    assert!(role[0].contains("there is no role \"operatr\""), "{role:?}");
    let role = faults(
        "@id(\"a\")\nforbid (principal, action, resource)\nwhen { [\"operator\", \"admin\"].contains(principal.role) };",
    );
    assert!(role[0].contains("there is no role \"admin\""), "{role:?}");
    let template = faults("@id(\"a\")\nforbid (principal == ?principal, action, resource);");
    assert!(template[0].contains("templates"), "{template:?}");
}

#[test]
fn an_id_is_given_once() {
    assert!(
        faults("forbid (principal, action, resource);")[0].starts_with("own.cedar:1: a policy needs @id")
    );
    assert!(faults("@id(\"A b\")\nforbid (principal, action, resource);")[0].contains("a policy needs @id"));
    let shipped = faults("@id(\"operators-operate\")\nforbid (principal, action, resource);");
    assert!(shipped[0].contains("Keywright ships a policy with the id operators-operate"), "{shipped:?}");
    let twice = "@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.kind == \"service\" };\n";
    let second = "@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.kind == \"user\" };";
    let twice = faults(&format!("{twice}{second}"));
    assert_eq!(twice, ["own.cedar:4: the id a is taken by own.cedar:1: choose another"]);
}

#[test]
fn only_policy_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Policy::with_additions(folder.path()).unwrap().added().is_empty());
    std::fs::write(folder.path().join("README.md"), "nothing").unwrap();
    std::fs::write(folder.path().join(".draft.cedar"), "nothing").unwrap();
    std::fs::create_dir(folder.path().join("old.cedar")).unwrap();
    let ours = "@id(\"b\")\nforbid (principal, action, resource)\nwhen { principal.kind == \"service\" };";
    std::fs::write(folder.path().join("b.cedar"), ours).unwrap();
    std::fs::write(folder.path().join("a.cedar"), ours.replace("\"b\"", "\"a\"")).unwrap();
    assert_eq!(Policy::with_additions(folder.path()).unwrap().added(), ["a", "b"]);
    let missing = Policy::with_additions(&folder.path().join("missing"));
    assert!(missing.err().unwrap().to_string().contains("missing"));
    let text = Policy::text();
    assert!(["namespace Keywright", "limit-download", "operators-operate"].iter().all(|t| text.contains(t)));
}

#[test]
fn what_is_remembered_of_a_service_is_what_the_policies_say() {
    let policy = Policy::shipped().unwrap();
    let tenant = TenantId::random().unwrap();
    let service = Caller::background(ServiceName::ConnectivityProbe, "ftest_x");
    let mut posing = service.clone();
    posing.principal.role = Role::Auditor;
    let mut allowed = 0;
    for action in &policy.0.actions.all {
        for tenant in [None, Some(&tenant)] {
            let text = tenant.map_or("", TenantId::as_str);
            let said = policy.0.judge(&policy.0.shipped, &service, action, text);
            allowed += usize::from(said.is_ok());
            let said = said.map_or_else(Decision::Deny, |()| Decision::Allow);
            for _ in 0..2 {
                assert_eq!(policy.decide(&service, action, tenant), said);
            }
            let other = policy.0.judge(&policy.0.all, &posing, action, text);
            assert_eq!(policy.decide(&posing, action, tenant) == Decision::Allow, other.is_ok());
        }
    }
    assert!(allowed > 4, "services may something: {allowed}");
}
